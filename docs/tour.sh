#!/bin/sh
# Writes the pictures of the tour, docs/tour/*.svg: the real program in a pseudo-terminal, with the real SqueezeNet
# (SWITCHBACK_TEST_DATA names the folder that holds models/squeezenet1.1.onnx), before a picture that the test draws.
set -eu
cd "$(dirname "$0")/.."
SWITCHBACK_TOUR=$PWD/docs/tour cargo test --release -p switchback --test screen tour
