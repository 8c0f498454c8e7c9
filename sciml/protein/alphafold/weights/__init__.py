"""Parameter files of AlphaFold networks: AlphaFold's, OpenFold's and this package's."""
