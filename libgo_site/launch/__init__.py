"""The launcher: plain Python without packages, because it is what installs them."""
