"""A pipeline run on a cluster, through the API of Kubeflow Pipelines."""
