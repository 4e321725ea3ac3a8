"""`python -m sandbox.clinic`: serve the sample clinic, or print its registration."""

from __future__ import annotations

from sandbox.clinic import HOST, PORT, ClinicSettings, create_clinic, registration
from sandbox.party.serving import program

main = program(
    "clinic",
    "The sample clinic. Its state is ROOT/clinic.",
    host=HOST,
    port=PORT,
    settings=ClinicSettings,
    create=create_clinic,
    registration=registration,
)

if __name__ == "__main__":
    main()
