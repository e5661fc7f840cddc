"""How rows have the same bits in any company, and whether this machine has what it takes."""
