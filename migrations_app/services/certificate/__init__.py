"""The certificate and the evidence bundle of a run that is over.

facts.py says what is so, as plain data; layout.py puts it into sections; html.py and pdf.py set them; issue.py keeps
the bytes and writes their digests into the trail; bundle.py packs it all for an auditor.
"""
