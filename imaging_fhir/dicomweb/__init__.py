"""DICOMweb (PS3.18): its media types, its multipart bodies and its DICOM JSON answers."""
