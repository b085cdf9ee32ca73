"""From what the mirror knows to lines of text: pure, drawn by the panes."""
