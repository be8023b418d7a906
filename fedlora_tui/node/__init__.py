"""An organization's side of a federation on several machines: its app, its ledger of all that comes and leaves."""
