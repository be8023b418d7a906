"""`fedlora-tui bench NAME`: claims about fedlora-tui, each measured on this machine by one command.

Each benchmark gives a `report.Report`; `command` prints it as a table or as one JSON object.
"""
