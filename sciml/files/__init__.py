"""Files that are whole: tensors, kept rows, claims and locks of folders, bounded unpacking."""
