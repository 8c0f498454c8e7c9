"""Jets from files and to files: columns, features, data sets."""
