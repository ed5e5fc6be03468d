"""Training of the engine ``ct_bodycomp`` on simulated abdomens alone (extra ``train``)."""
