"""The live crossing as a whole: copy with a position, full check, freeze, fall-back, recovery, end."""
