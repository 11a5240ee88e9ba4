"""A gallery's vectors in Milvus, for those who outgrow one machine. Needs the extra `cluster`."""
