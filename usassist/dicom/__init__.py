"""What goes to the clinic and comes from it as DICOM: objects made of a session, the network, and de-identification."""
