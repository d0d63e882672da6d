"""What SQLite's side of a live crossing keeps: the log of touched keys, the triggers that write it, and the fence."""
