"""Child processes of the worklist: one scores a study, one watches the folder beside a page."""
