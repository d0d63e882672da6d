"""What the headless commands share: arguments, progress, signals, the flows and the report. No control database."""
