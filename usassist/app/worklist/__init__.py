"""A worklist: watches a folder of studies, has each scored once, and keeps the order in which they should be read.

It knows studies as folders and files, and a score as a number: what a study shows is the matter of the scorer that it
is given.
"""
