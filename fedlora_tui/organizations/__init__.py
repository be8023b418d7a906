"""Where private text comes from: the sources of organizations' documents, and the split into train and hold-out.

No torch. `roster.call_roster` names who takes part, `source.open_source` finds a source, and `text.split` makes one
organization's `PrivateText`.
"""
