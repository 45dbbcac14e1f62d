"""The trusted part: read these files to believe the guarantee."""
