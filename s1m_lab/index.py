"""The index of reports."""
def write(listed, ended):
    pass
