"""Links as tasks: when a run happens, under which lease, and what is said of it. What a run does is `tierfold.link`."""
