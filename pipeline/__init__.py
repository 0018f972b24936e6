"""The pipeline: how the steps are composed, compiled, run and scheduled with Kubeflow Pipelines."""
