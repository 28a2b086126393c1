"""What a bug report needs, collected from what is there, without secrets."""
