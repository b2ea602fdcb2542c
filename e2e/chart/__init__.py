"""Makes and checks the Helm chart: `charts/berth`.

What can be derived is derived: values, their schema and their reference from one model, CRDs and policies from the
manifests that users without Helm apply. The rest of the templates is written by hand.
"""
