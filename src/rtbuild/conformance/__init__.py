"""What a runtime image promises, and the checks that try it in real containers."""
