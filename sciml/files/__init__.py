"""Safe files: checked tensors, sealed rows, claims and locks of folders, bounded unpacking."""
