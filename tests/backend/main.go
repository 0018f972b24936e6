// Command backend checks that the backend of Kubeflow Pipelines accepts a compiled pipeline: it runs
// the API server's own compiler over the file, and Argo's own validation over the workflow.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/argoproj/argo-workflows/v3/workflow/validate"
	"github.com/kubeflow/pipelines/api/v2alpha1/go/pipelinespec"
	"github.com/kubeflow/pipelines/backend/src/apiserver/config/proxy"
	"github.com/kubeflow/pipelines/backend/src/v2/compiler/argocompiler"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"gopkg.in/yaml.v3"
	sigs "sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: backend pipeline.yaml")
		os.Exit(2)
	}
	workflow, err := check(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Stdout.Write(workflow)
}

// check returns the validated Argo workflow of a compiled pipeline, as YAML.
func check(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// A compiled pipeline is one document, and a second one with what only Kubernetes knows.
	documents := yaml.NewDecoder(file)
	job := &pipelinespec.PipelineJob{PipelineSpec: &structpb.Struct{}}
	if err := read(documents, job.PipelineSpec); err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	platforms := &pipelinespec.PlatformSpec{}
	if err := read(documents, platforms); err != nil {
		return nil, fmt.Errorf("platforms: %w", err)
	}
	proxy.InitializeConfigWithEmptyForTests()
	workflow, err := argocompiler.Compile(job, platforms.Platforms["kubernetes"], nil)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	// As the API server does: templates it refers to lie outside the workflow.
	if err := validate.ValidateWorkflow(nil, nil, workflow, nil, validate.ValidateOpts{Lint: true}); err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	return sigs.Marshal(workflow)
}

// read decodes the next document; a field that the backend does not know is an error.
func read(documents *yaml.Decoder, into proto.Message) error {
	var document any
	if err := documents.Decode(&document); err != nil {
		return err
	}
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(text, into)
}
