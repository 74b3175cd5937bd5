"""What a plugin implements, one file per role. Every clause is numbered, and each number has a conformance test."""
