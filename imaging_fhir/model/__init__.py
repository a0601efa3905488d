"""What an image is: frozen values in the standards' own words; no input or output."""
