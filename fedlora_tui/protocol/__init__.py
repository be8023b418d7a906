"""The only thing that engine and faces share: events, commands, and the state that events add up to.

Standard library only, so that a script can read a run with nothing else installed.
"""
