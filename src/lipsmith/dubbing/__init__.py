"""Dubs a video with speech. `pipeline` is the main job; read it first."""
