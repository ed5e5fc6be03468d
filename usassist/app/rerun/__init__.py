"""Running a recorded session again through the pipeline, and comparing what comes out."""
