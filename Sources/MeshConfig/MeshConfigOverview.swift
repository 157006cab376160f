// MeshConfig
