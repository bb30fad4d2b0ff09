"""The measures of curvature, file by file as in the source."""
