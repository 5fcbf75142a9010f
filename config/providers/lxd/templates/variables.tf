variable "name" {
  description = "The environment's name, and the instance's."
  type        = string
}

variable "user_data" {
  description = "The cloud-config for the first boot."
  type        = string
  sensitive   = true
}

variable "ssh_port" {
  description = "The port that sshd listens on."
  type        = number
}

variable "remote" {
  description = "The LXD server, as `lxc remote list` names it."
  type        = string
}

variable "project" {
  description = "The LXD project that the instance is in."
  type        = string
}

variable "image" {
  description = "The image that the instance is made from."
  type        = string
}

variable "type" {
  description = "`container` or `virtual-machine`."
  type        = string
}

variable "profiles" {
  description = "LXD profiles, first to last."
  type        = list(string)
}

variable "cpus" {
  description = "Processors; null: as the profiles say."
  type        = number
}

variable "memory_mib" {
  description = "Memory in MiB; null: as the profiles say."
  type        = number
}

variable "disk_gib" {
  description = "The root disk in GiB; null: as the profiles say."
  type        = number
}

variable "storage_pool" {
  description = "Where the root disk is made if `disk_gib` is given."
  type        = string
}
