"""What every sample service of the sandbox needs to be a relying party, as docs/integrators.md asks of one."""
