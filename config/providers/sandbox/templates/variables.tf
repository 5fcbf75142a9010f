variable "name" {
  description = "The environment's name, and the host's."
  type        = string
}

variable "user_data" {
  description = "The cloud-config for the first boot."
  type        = string
  sensitive   = true
}

variable "kind" {
  description = "`light`, `rootless` or `full`."
  type        = string
}

variable "directory" {
  description = "Where the sandbox keeps its hosts."
  type        = string
}

variable "address" {
  description = "The host's address, of the loopback."
  type        = string
}

variable "ssh_port" {
  description = "The port that it answers SSH on."
  type        = number
}

variable "cloud_init" {
  description = "Whether the host has cloud-init."
  type        = bool
}

variable "packages" {
  description = "Whether the host reaches package sources."
  type        = bool
}

variable "listen" {
  description = "Whether anything answers SSH."
  type        = bool
}

variable "fail_boot" {
  description = "Whether the creation fails."
  type        = bool
}

variable "program" {
  description = "The program that makes and ends hosts, with its first arguments."
  type        = list(string)
}

variable "python_path" {
  description = "Where that program finds its modules."
  type        = string
}
