"""How bytes reach the reader, one file per transport."""
