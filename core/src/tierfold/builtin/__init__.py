"""The plugin that comes with the core, found like every other one."""
