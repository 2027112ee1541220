"""Questions to Claude: prompts for a theme, what a photo shows."""
