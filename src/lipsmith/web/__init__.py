"""The page of the service: HTML, styles and scripts of our own, which load nothing from anywhere else."""
