"""Exports the answers of a job: as training data, a table, or files for other tools. docs/exports.md shows each form.

python jobs/export_dataset.py --input s3://bucket/captions \\
    --output s3://bucket/captions-sft --to sft --split train=0.95,val=0.05
"""

if __name__ == "__main__":  # before what takes long to import
    from pipelines import interruption

    interruption.install()


from pipelines.commands.export import run_export
from pipelines.exports.options import ExportOptions

Options = ExportOptions

if __name__ == "__main__":
    run_export(str(__doc__))
