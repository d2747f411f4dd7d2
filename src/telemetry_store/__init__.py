"""The tables and the databases they are in: `event_logs`, the export queue, its ledger and runs, audit, migrations."""
