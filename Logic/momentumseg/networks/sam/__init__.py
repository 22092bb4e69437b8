"""The SAM family of prompted segmentation: image encoders, prompt encoder, mask decoder and the network they make."""
