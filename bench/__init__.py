"""Speed against the floor, as ratios in one run: `make bench`."""
