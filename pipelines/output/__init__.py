from pipelines.output.folder import OutputFolder

__all__ = ["OutputFolder"]
