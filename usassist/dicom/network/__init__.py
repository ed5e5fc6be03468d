"""The archives of a clinic over the network: DIMSE and DICOMweb behind one protocol, and the queue of what is sent."""
