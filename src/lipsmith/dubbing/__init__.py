"""Dubs: a video and speech in, a video that says the speech out. `pipeline` is the main job, top to bottom."""
