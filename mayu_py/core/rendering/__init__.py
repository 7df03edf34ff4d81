"""What is made for one host: its interfaces, and the files that set them up."""
