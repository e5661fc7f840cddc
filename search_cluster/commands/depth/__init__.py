"""The commands of depth studies: what is read and executed, in parts that are kept, and reports."""
