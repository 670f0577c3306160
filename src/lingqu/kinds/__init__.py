"""The words that every room shares: documents, parties, schemas, costs, disclosures, channels."""
