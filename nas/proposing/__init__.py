"""What samplers that know architectures share: question, history as gene rows, operators."""
